// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.errors;

/** The status 507, Insufficient Storage. Codes: {@code store_failed}. */
public class StoreFailedException extends LLMOSException {
    private static final long serialVersionUID = 1;

    /** Makes one. */
    public StoreFailedException(Facts facts) {
        super(facts);
    }
}
