// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.errors;

import ai.llmos.errors.LLMOSException.Facts;

/** Finds the exception for what a server answered. */
public final class Errors {
    private Errors() {}

    /**
     * Returns the exception of the code; for an unknown one, of the status, with the code that goes with it; for an
     * unknown status, BadRequestException below 500.
     */
    public static LLMOSException of(Facts given) {
        // An event of a stream, and a failed job, have a code, and no status of their own.
        int ofCode = statusOf(given.code());
        int status = ofCode == 0 ? known(given.status()) : ofCode;
        var facts = given.as(status, ofCode == 0 ? codeOf(status) : given.code());
        return switch (facts.status()) {
            case 400 -> new BadRequestException(facts);
            case 401 -> new UnauthenticatedException(facts);
            case 402 -> new BudgetExceededException(facts);
            case 403 -> new PermissionDeniedException(facts);
            case 404 -> new NotFoundException(facts);
            case 405 -> new MethodNotAllowedException(facts);
            case 408 -> new RequestTimeoutException(facts);
            case 409 -> new ConflictException(facts);
            case 413 -> new TooLargeException(facts);
            case 414 -> new UriTooLongException(facts);
            case 415 -> new UnsupportedMediaTypeException(facts);
            case 424 -> new AppFailedException(facts);
            case 429 -> new RateLimitedException(facts);
            case 431 -> new HeadersTooLargeException(facts);
            case 502 -> new BadGatewayException(facts);
            case 503 -> new UnavailableException(facts);
            case 507 -> new StoreFailedException(facts);
            default -> new LLMOSException(facts);
        };
    }

    private static int known(int status) {
        if (!codeOf(status).equals("internal_error")) {
            return status;
        }
        return status >= 400 && status < 500 ? 400 : 500;
    }

    private static String codeOf(int status) {
        return switch (status) {
            case 400 -> "invalid_request";
            case 401 -> "invalid_api_key";
            case 402 -> "budget_exceeded";
            case 403 -> "permission_denied";
            case 404 -> "not_found";
            case 405 -> "method_not_allowed";
            case 408 -> "request_timeout";
            case 409 -> "conflict";
            case 413 -> "request_too_large";
            case 414 -> "uri_too_long";
            case 415 -> "unsupported_media_type";
            case 424 -> "app_failed";
            case 429 -> "rate_limit_exceeded";
            case 431 -> "headers_too_large";
            case 502 -> "download_failed";
            case 503 -> "unavailable";
            case 507 -> "store_failed";
            default -> "internal_error";
        };
    }

    private static int statusOf(String code) {
        return switch (code == null ? "" : code) {
            case "invalid_request", "context_length_exceeded", "content_filter", "bad_document", "bad_model_file", "unsupported_model" -> 400;
            case "invalid_api_key" -> 401;
            case "budget_exceeded" -> 402;
            case "permission_denied", "untrusted_model" -> 403;
            case "not_found", "model_not_found" -> 404;
            case "method_not_allowed" -> 405;
            case "request_timeout" -> 408;
            case "conflict", "insufficient_memory", "newer_version", "run_conflict" -> 409;
            case "request_too_large" -> 413;
            case "uri_too_long" -> 414;
            case "unsupported_media_type" -> 415;
            case "app_failed", "not_recorded" -> 424;
            case "rate_limit_exceeded", "overloaded", "quota_exceeded" -> 429;
            case "headers_too_large" -> 431;
            case "download_failed", "replica_failed", "provider_failed" -> 502;
            case "unavailable", "no_node" -> 503;
            case "store_failed" -> 507;
            default -> 0;
        };
    }
}
