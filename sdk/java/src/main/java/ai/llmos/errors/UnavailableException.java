// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.errors;

/** The status 503, Service Unavailable. Codes: {@code unavailable}, {@code no_node}. */
public class UnavailableException extends LLMOSException {
    private static final long serialVersionUID = 1;

    /** Makes one. */
    public UnavailableException(Facts facts) {
        super(facts);
    }
}
