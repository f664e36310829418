// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.errors;

/** The status 424, Failed Dependency. Codes: {@code app_failed}, {@code not_recorded}. */
public class AppFailedException extends LLMOSException {
    private static final long serialVersionUID = 1;

    /** Makes one. */
    public AppFailedException(Facts facts) {
        super(facts);
    }
}
