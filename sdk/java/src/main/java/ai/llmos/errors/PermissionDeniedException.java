// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.errors;

/** The status 403, Forbidden. Codes: {@code permission_denied}, {@code untrusted_model}. */
public class PermissionDeniedException extends LLMOSException {
    private static final long serialVersionUID = 1;

    /** Makes one. */
    public PermissionDeniedException(Facts facts) {
        super(facts);
    }
}
