package ai.llmos.json;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reads one document, character by character. */
final class JsonReader {
    /** A longer number takes quadratic time to convert; Python's limit is the same. */
    private static final int MAX_DIGITS = 4300;

    private final String text;
    private final Json.Limits limits;
    private int at;
    private int depth;

    JsonReader(String text, Json.Limits limits) {
        this.text = text;
        this.limits = limits;
    }

    Object readDocument() {
        if (text.length() > limits.maxCharacters()) {
            throw new JsonException("The text has " + text.length() + " characters; " + limits.maxCharacters() + " are allowed.");
        }
        skipSpaces();
        var value = readValue();
        skipSpaces();
        if (at < text.length()) {
            throw error("there is text behind the value");
        }
        return value;
    }

    private Object readValue() {
        switch (peek()) {
            case '{':
                return readObject();
            case '[':
                return readArray();
            case '"':
                return readString();
            case 't':
                return readWord("true", Boolean.TRUE);
            case 'f':
                return readWord("false", Boolean.FALSE);
            case 'n':
                return readWord("null", null);
            default:
                return readNumber();
        }
    }

    private Map<String, Object> readObject() {
        enter();
        Map<String, Object> object = new LinkedHashMap<>();
        skipSpaces();
        if (peek() == '}') {
            return leave(object);
        }
        while (true) {
            if (peek() != '"') {
                throw error("a name in quotes is missing");
            }
            var name = readString();
            skipSpaces();
            expect(':');
            skipSpaces();
            object.put(name, readValue());
            skipSpaces();
            if (peek() == '}') {
                return leave(object);
            }
            expect(',');
            skipSpaces();
        }
    }

    private List<Object> readArray() {
        enter();
        List<Object> array = new ArrayList<>();
        skipSpaces();
        if (peek() == ']') {
            return leave(array);
        }
        while (true) {
            array.add(readValue());
            skipSpaces();
            if (peek() == ']') {
                return leave(array);
            }
            expect(',');
            skipSpaces();
        }
    }

    private void enter() {
        at++;
        if (++depth > limits.maxDepth()) {
            throw error("it has more than " + limits.maxDepth() + " levels");
        }
    }

    private <T> T leave(T value) {
        at++;
        depth--;
        return value;
    }

    private String readString() {
        int first = ++at;
        while (true) {
            int c = peek();
            if (c == '"') {
                return text.substring(first, at++);
            }
            if (c == '\\') {
                return readEscapedString(first);
            }
            checkCharacter(c);
            at++;
        }
    }

    private String readEscapedString(int first) {
        var built = new StringBuilder(text.length() - first < 64 ? 64 : 128).append(text, first, at);
        while (true) {
            int c = peek();
            at++;
            if (c == '"') {
                return built.toString();
            }
            if (c == '\\') {
                built.append(readEscape());
            } else {
                checkCharacter(c);
                built.append((char) c);
            }
        }
    }

    private void checkCharacter(int c) {
        if (c < ' ') {
            throw error(c < 0 ? "a string doesn't end" : "a string contains a control character");
        }
    }

    private char readEscape() {
        int c = peek();
        at++;
        switch (c) {
            case '"', '\\', '/':
                return (char) c;
            case 'b':
                return '\b';
            case 'f':
                return '\f';
            case 'n':
                return '\n';
            case 'r':
                return '\r';
            case 't':
                return '\t';
            case 'u':
                return readCodeUnit();
            default:
                throw error("there is no such escape");
        }
    }

    private char readCodeUnit() {
        int value = 0;
        for (int i = 0; i < 4; i++) {
            int c = peek();
            int digit = c < 128 ? Character.digit(c, 16) : -1;
            if (digit < 0) {
                throw error("\\u needs four hexadecimal digits");
            }
            value = value * 16 + digit;
            at++;
        }
        return (char) value;
    }

    private Object readNumber() {
        int first = at;
        if (peek() == '-') {
            at++;
        }
        if (peek() == '0') {
            at++;
        } else {
            skipDigits();
        }
        boolean isWhole = true;
        if (peek() == '.') {
            at++;
            skipDigits();
            isWhole = false;
        }
        if (peek() == 'e' || peek() == 'E') {
            at++;
            if (peek() == '+' || peek() == '-') {
                at++;
            }
            skipDigits();
            isWhole = false;
        }
        if (at - first > MAX_DIGITS) {
            throw error("a number has more than " + MAX_DIGITS + " digits");
        }
        return convert(text.substring(first, at), isWhole);
    }

    private Object convert(String number, boolean isWhole) {
        if (!isWhole) {
            try {
                return new BigDecimal(number);
            } catch (NumberFormatException error) {
                throw error("the exponent of a number is too large");
            }
        }
        // Nineteen characters may be a long or not.
        if (number.length() < 19) {
            return Long.parseLong(number);
        }
        var exact = new BigInteger(number);
        return exact.bitLength() < 64 ? (Object) exact.longValue() : exact;
    }

    private void skipDigits() {
        int first = at;
        while (peek() >= '0' && peek() <= '9') {
            at++;
        }
        if (at == first) {
            throw error(at < text.length() ? "a value is missing" : "it ends too early");
        }
    }

    private Object readWord(String word, Object value) {
        if (!text.startsWith(word, at)) {
            throw error("a value is missing");
        }
        at += word.length();
        return value;
    }

    private void expect(char wanted) {
        if (peek() != wanted) {
            throw error("'" + wanted + "' is missing");
        }
        at++;
    }

    private void skipSpaces() {
        for (int c = peek(); c == ' ' || c == '\n' || c == '\r' || c == '\t'; c = peek()) {
            at++;
        }
    }

    /** Returns the next character, or -1 at the end. */
    private int peek() {
        return at < text.length() ? text.charAt(at) : -1;
    }

    private JsonException error(String problem) {
        return new JsonException("The text is no JSON at character " + (Math.min(at, text.length()) + 1) + ": " + problem + ".");
    }
}
