// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.errors;

/** The status 404, Not Found. Codes: {@code not_found}, {@code model_not_found}. */
public class NotFoundException extends LLMOSException {
    private static final long serialVersionUID = 1;

    /** Makes one. */
    public NotFoundException(Facts facts) {
        super(facts);
    }
}
