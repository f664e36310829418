package ai.llmos.json;

/** A text is no JSON, a value can't be written as JSON, or a value doesn't fit the type that it is read as. */
public class JsonException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** Makes one with what is wrong. */
    public JsonException(String message) {
        super(message, null, false, true);
    }
}
