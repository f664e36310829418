// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.errors;

/** The status 402, Payment Required. Codes: {@code budget_exceeded}. */
public class BudgetExceededException extends LLMOSException {
    private static final long serialVersionUID = 1;

    /** Makes one. */
    public BudgetExceededException(Facts facts) {
        super(facts);
    }
}
