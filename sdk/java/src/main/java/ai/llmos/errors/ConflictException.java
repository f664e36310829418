// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.errors;

/** The status 409, Conflict. Codes: {@code conflict}, {@code insufficient_memory}, {@code newer_version}, {@code run_conflict}. */
public class ConflictException extends LLMOSException {
    private static final long serialVersionUID = 1;

    /** Makes one. */
    public ConflictException(Facts facts) {
        super(facts);
    }
}
