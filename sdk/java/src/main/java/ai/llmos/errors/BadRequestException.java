// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.errors;

/** The status 400, Bad Request. Codes: {@code invalid_request}, {@code context_length_exceeded}, {@code content_filter}, {@code bad_document}, {@code bad_model_file}, {@code unsupported_model}. */
public class BadRequestException extends LLMOSException {
    private static final long serialVersionUID = 1;

    /** Makes one. */
    public BadRequestException(Facts facts) {
        super(facts);
    }
}
