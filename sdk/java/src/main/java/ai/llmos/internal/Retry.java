package ai.llmos.internal;

import ai.llmos.errors.ConnectionFailedException;
import ai.llmos.errors.LLMOSException;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.function.DoubleSupplier;

/**
 * Decides whether a failed call is tried again, and after which delay.
 *
 * @param jitter returns a number in [0, 1), so that callers that failed together don't retry together
 */
record Retry(int maxRetries, DoubleSupplier jitter) {
    private static final double FIRST_DELAY_SECONDS = 0.5;
    private static final double LONGEST_DELAY_SECONDS = 8;
    private static final double LONGEST_RETRY_AFTER_SECONDS = 60;
    private static final Set<Integer> STATUSES = Set.of(408, 409, 429);

    /** Returns how long to wait after so many failures, or nothing to give up. */
    OptionalDouble delaySeconds(LLMOSException error, int numFailures) {
        if (numFailures > maxRetries || !isWorthRetrying(error)) {
            return OptionalDouble.empty();
        }
        if (error.retryAfterSeconds().isPresent()) {
            // If the server asks to wait longer than this, its error goes to the caller.
            return error.retryAfterSeconds().getAsDouble() <= LONGEST_RETRY_AFTER_SECONDS ? error.retryAfterSeconds() : OptionalDouble.empty();
        }
        double delay = Math.min(FIRST_DELAY_SECONDS * Math.pow(2, numFailures - 1), LONGEST_DELAY_SECONDS);
        return OptionalDouble.of(delay * (1 - jitter.getAsDouble() / 2));
    }

    private static boolean isWorthRetrying(LLMOSException error) {
        int status = error.status();
        return !"run_conflict".equals(error.code())
                && (error instanceof ConnectionFailedException || STATUSES.contains(status) || (status >= 500 && status < 600));
    }
}
