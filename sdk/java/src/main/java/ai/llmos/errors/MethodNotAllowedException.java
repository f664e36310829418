// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.errors;

/** The status 405, Method Not Allowed. Codes: {@code method_not_allowed}. */
public class MethodNotAllowedException extends LLMOSException {
    private static final long serialVersionUID = 1;

    /** Makes one. */
    public MethodNotAllowedException(Facts facts) {
        super(facts);
    }
}
