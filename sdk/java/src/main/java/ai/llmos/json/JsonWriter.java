package ai.llmos.json;

import java.lang.reflect.Array;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.temporal.TemporalAccessor;
import java.util.Iterator;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;

/** Writes one document. */
final class JsonWriter {
    private static final int MAX_DEPTH = 500;
    private static final String HEX = "0123456789abcdef";

    private final StringBuilder out = new StringBuilder();
    private int depth;

    String write(Object value) {
        writeValue(value);
        return out.toString();
    }

    private void writeValue(Object value) {
        if (value == null) {
            out.append("null");
        } else if (value instanceof CharSequence text) {
            writeString(text);
        } else if (value instanceof Boolean) {
            out.append(value);
        } else if (value instanceof Number number) {
            writeNumber(number);
        } else if (value instanceof Map<?, ?> map) {
            writeObject(map);
        } else if (value instanceof Iterable<?> values) {
            writeArray(values.iterator());
        } else {
            writeOther(value);
        }
    }

    private void writeOther(Object value) {
        if (value instanceof Record record) {
            writeObject(RecordShape.of(record.getClass()).toMap(record));
        } else if (value instanceof Enum<?> constant) {
            writeString(constant.name());
        } else if (value instanceof Optional<?> optional) {
            writeValue(optional.orElse(null));
        } else if (value.getClass().isArray()) {
            writeArray(elements(value));
        } else if (value instanceof TemporalAccessor || value instanceof UUID || value instanceof Character) {
            writeString(value.toString());
        } else {
            throw new JsonException("A " + value.getClass().getName() + " can't be written as JSON. Use a record, a map or a list.");
        }
    }

    private static Iterator<Object> elements(Object array) {
        int length = Array.getLength(array);
        return new Iterator<>() {
            private int next;

            @Override
            public boolean hasNext() {
                return next < length;
            }

            @Override
            public Object next() {
                return Array.get(array, next++);
            }
        };
    }

    private void writeObject(Map<?, ?> map) {
        enter('{');
        boolean isFirst = true;
        for (var entry : map.entrySet()) {
            if (!isFirst) {
                out.append(',');
            }
            isFirst = false;
            var key = entry.getKey();
            writeString(key instanceof Enum<?> constant ? constant.name() : String.valueOf(key));
            out.append(':');
            writeValue(entry.getValue());
        }
        leave('}');
    }

    private void writeArray(Iterator<?> values) {
        enter('[');
        for (boolean isFirst = true; values.hasNext(); isFirst = false) {
            if (!isFirst) {
                out.append(',');
            }
            writeValue(values.next());
        }
        leave(']');
    }

    private void enter(char bracket) {
        if (++depth > MAX_DEPTH) {
            throw new JsonException("The value has more than " + MAX_DEPTH + " levels, or contains itself.");
        }
        out.append(bracket);
    }

    private void leave(char bracket) {
        depth--;
        out.append(bracket);
    }

    private void writeNumber(Number number) {
        boolean isFloat = number instanceof Double || number instanceof Float;
        if (isFloat && !Double.isFinite(number.doubleValue())) {
            throw new JsonException("The number " + number + " can't be written as JSON.");
        }
        boolean isKnown = isFloat || number instanceof BigDecimal || number instanceof BigInteger;
        out.append(isKnown ? number.toString() : Long.toString(number.longValue()));
    }

    private void writeString(CharSequence text) {
        out.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c < ' ' || c == '"' || c == '\\') {
                writeEscape(c);
            } else if (!Character.isSurrogate(c)) {
                out.append(c);
            } else if (i + 1 < text.length() && Character.isSurrogatePair(c, text.charAt(i + 1))) {
                out.append(c).append(text.charAt(++i));
            } else {
                throw new JsonException("The text contains half of a surrogate pair, which isn't a character. Send valid Unicode.");
            }
        }
        out.append('"');
    }

    private void writeEscape(char c) {
        int at = "\"\\\n\r\t\b\f".indexOf(c);
        if (at >= 0) {
            out.append('\\').append("\"\\nrtbf".charAt(at));
        } else {
            out.append("\\u00").append(HEX.charAt(c >> 4)).append(HEX.charAt(c & 15));
        }
    }
}
