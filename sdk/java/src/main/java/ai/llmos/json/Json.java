package ai.llmos.json;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;

/**
 * Reads and writes JSON (RFC 8259), without a class for its values.
 *
 * <table>
 * <caption>The Java value of each kind of JSON value</caption>
 * <tr><th>JSON</th><th>Java</th></tr>
 * <tr><td>object</td><td>{@code Map<String, Object>}, in the order of the text</td></tr>
 * <tr><td>array</td><td>{@code List<Object>}</td></tr>
 * <tr><td>string</td><td>{@code String}</td></tr>
 * <tr><td>whole number</td><td>{@code Long}, or {@code BigInteger} where a long is too small</td></tr>
 * <tr><td>other number</td><td>{@code BigDecimal}, exactly as it is written</td></tr>
 * <tr><td>true, false, null</td><td>{@code Boolean}, {@code null}</td></tr>
 * </table>
 *
 * <p>Writing also takes other numbers, records, enums, optionals, arrays, instants and dates. Of two members with one name,
 * the last one counts.
 */
public final class Json {
    /**
     * The limits of a document that is read.
     *
     * @param maxDepth the levels of objects and arrays
     * @param maxCharacters the length of the text
     */
    public record Limits(int maxDepth, int maxCharacters) {
        /** 500 levels, and what fits into a string. */
        public static final Limits DEFAULT = new Limits(500, Integer.MAX_VALUE);
    }

    private Json() {}

    /**
     * Returns the value of a document.
     *
     * @throws JsonException if the text is no JSON
     */
    public static Object read(String text) {
        return read(text, Limits.DEFAULT);
    }

    /**
     * Returns the value of a document.
     *
     * @throws JsonException if the text is no JSON, or exceeds the limits
     */
    public static Object read(String text, Limits limits) {
        return new JsonReader(text, limits).readDocument();
    }

    /**
     * Returns the value of a document in UTF-8.
     *
     * @throws JsonException if the bytes are no UTF-8, or no JSON
     */
    public static Object read(byte[] utf8) {
        return read(utf8, Limits.DEFAULT);
    }

    /**
     * Returns the value of a document in UTF-8.
     *
     * @throws JsonException if the bytes are no UTF-8 or no JSON, or exceed the limits
     */
    public static Object read(byte[] utf8, Limits limits) {
        try {
            var decoder = StandardCharsets.UTF_8.newDecoder()
                    .onMalformedInput(CodingErrorAction.REPORT)
                    .onUnmappableCharacter(CodingErrorAction.REPORT);
            return read(decoder.decode(ByteBuffer.wrap(utf8)).toString(), limits);
        } catch (CharacterCodingException error) {
            throw new JsonException("The text is not valid UTF-8.");
        }
    }

    /**
     * Returns a value as JSON, without spaces.
     *
     * @throws JsonException for a value that JSON can't represent: a number that isn't finite, half of a surrogate pair, an
     *     object that is none of the kinds above, or one that contains itself
     */
    public static String write(Object value) {
        return new JsonWriter().write(value);
    }

    /**
     * Returns a value as JSON in UTF-8.
     *
     * @throws JsonException as {@link #write} does
     */
    public static byte[] writeBytes(Object value) {
        return write(value).getBytes(StandardCharsets.UTF_8);
    }
}
