package ai.llmos.json;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class JsonTest {
    enum Color { RED }

    record Point(int xOffset, @Nullable String name) {}

    @Test
    void numbersAreExact() {
        assertEquals(9007199254740993L, Json.read("9007199254740993"));
        assertEquals(Long.MIN_VALUE, Json.read("-9223372036854775808"));
        assertEquals(new BigInteger("9223372036854775808"), Json.read("9223372036854775808"));
        assertEquals(new BigDecimal("0.1000"), Json.read("0.1000"));
        assertEquals("123456789012345678901234567890.000000001", Json.write(Json.read("123456789012345678901234567890.000000001")));
        assertEquals(new BigDecimal("1E+400"), Json.read("1e400"));
    }

    @Test
    void membersKeepTheirOrderAndTheLastOfOneNameCounts() {
        assertEquals("{\"b\":3,\"a\":2}", Json.write(Json.read("{\"b\": 1, \"a\": 2, \"b\": 3}")));
    }

    @Test
    void textOfAnyKindComesBack() {
        var text = "\"\\/\b\f\n\r\t\u0000\u001f\u007f\u2028é😀";
        assertEquals(text, Json.read(Json.write(text)));
        assertEquals("\"\\u0000\\n\\\"\\\\/é\"", Json.write("\u0000\n\"\\/é"));
        assertEquals("😀", Json.read("\"\\uD83D\\ude00\""));
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "", " ", "{", "[", "[1,]", "{\"a\":1,}", "{a:1}", "{\"a\" 1}", "[1 2]", "01", "1.", ".5", "1e", "+1", "-", "--1", "0x1", "NaN", "Infinity",
        "tru", "nul", "\"", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\n\"", "1 1", "[]]", "'a'", "\u00a01", "1e99999999999",
    })
    void whatIsNoJsonSaysWhere(String text) {
        assertTrue(assertThrows(JsonException.class, () -> Json.read(text)).getMessage().startsWith("The text is no JSON at character "));
    }

    @Test
    void depthAndSizeHaveLimits() {
        assertThrows(JsonException.class, () -> Json.read("[".repeat(1_000_000)));
        assertThrows(JsonException.class, () -> Json.read("[[1]]", new Json.Limits(1, 100)));
        assertThrows(JsonException.class, () -> Json.read("[1234]", new Json.Limits(9, 5)));
        assertThrows(JsonException.class, () -> Json.read("1".repeat(4301)));
        Json.read("[".repeat(500) + "]".repeat(500));
        List<Object> itself = new ArrayList<>();
        itself.add(itself);
        assertThrows(JsonException.class, () -> Json.write(itself));
    }

    @Test
    void bytesThatAreNoUtf8AreAnError() {
        assertThrows(JsonException.class, () -> Json.read(new byte[] {'"', (byte) 0xc3, '"'}));
        assertEquals("é", Json.read("\"é\"".getBytes(StandardCharsets.UTF_8)));
    }

    @Test
    void valuesOfJavaAreWritten() {
        assertEquals("{\"x_offset\":1,\"name\":null}", Json.write(new Point(1, null)));
        assertEquals("[\"RED\",1.5,null,\"a\",[1,2],\"2026-01-02T12:00:00Z\"]",
                Json.write(Arrays.asList(Color.RED, 1.5f, Optional.empty(), 'a', new int[] {1, 2}, Instant.parse("2026-01-02T12:00:00Z"))));
        assertEquals("{\"RED\":{\"1\":true}}", Json.write(Map.of(Color.RED, Map.of(1, true))));
    }

    @Test
    void valuesThatJsonDoesNotHaveAreAnError() {
        for (var value : List.of(Double.NaN, Float.POSITIVE_INFINITY, "\ud800", "\udc00a", new Object(), Thread.currentThread())) {
            assertThrows(JsonException.class, () -> Json.write(value));
        }
    }
}
