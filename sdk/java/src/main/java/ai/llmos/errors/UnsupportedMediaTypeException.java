// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.errors;

/** The status 415, Unsupported Media Type. Codes: {@code unsupported_media_type}. */
public class UnsupportedMediaTypeException extends LLMOSException {
    private static final long serialVersionUID = 1;

    /** Makes one. */
    public UnsupportedMediaTypeException(Facts facts) {
        super(facts);
    }
}
