// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.errors;

/** The status 401, Unauthorized. Codes: {@code invalid_api_key}. */
public class UnauthenticatedException extends LLMOSException {
    private static final long serialVersionUID = 1;

    /** Makes one. */
    public UnauthenticatedException(Facts facts) {
        super(facts);
    }
}
