// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.errors;

/** No server answered. Codes: {@code connection_failed}. */
public class ConnectionFailedException extends LLMOSException {
    private static final long serialVersionUID = 1;

    /** Makes one. */
    public ConnectionFailedException(Facts facts) {
        super(facts);
    }
}
