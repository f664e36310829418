package ai.llmos.json;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Instant;
import java.time.LocalDate;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Records as JSON and back, and their schemas. */
class BindingTest {
    enum Size { SMALL, LARGE }

    @Description("A place on a map")
    record Place(@Description("In English") String city, @Nullable String river, Optional<Integer> since, List<Size> sizes, Map<String, Double> shares) {}

    sealed interface Shape permits Circle, Group {}

    record Circle(double radius) implements Shape {}

    @Name("group")
    record Group(List<Shape> shapes) implements Shape {}

    record Node(String name, List<Node> children) {}

    record Numbers(byte b, short s, int i, long l, float f, double d, BigInteger big, BigDecimal exact) {}

    record Times(Instant at, LocalDate on, Set<String> names, String[] texts) {}

    record Positive(int value) {
        Positive {
            if (value < 0) {
                throw new IllegalArgumentException("it is negative");
            }
        }
    }

    private static <T> T read(String json, Class<T> type) {
        return Binding.read(Json.read(json), type);
    }

    @Test
    void aRecordComesBackAsItWasWritten() {
        var place = new Place("Rome", null, Optional.of(-753), List.of(Size.LARGE), Map.of("a", 0.5));
        assertEquals(place, read(Json.write(place), Place.class));
        var shape = new Group(List.of(new Circle(1.5), new Group(List.of())));
        assertEquals("{\"type\":\"group\",\"shapes\":[{\"type\":\"Circle\",\"radius\":1.5},{\"type\":\"group\",\"shapes\":[]}]}", Json.write(shape));
        assertEquals(shape, read(Json.write(shape), Shape.class));
        var times = read("{\"at\": \"2026-01-02T13:00:00+01:00\", \"on\": \"2026-01-02\", \"names\": [\"a\", \"a\"], \"texts\": [\"b\"]}", Times.class);
        assertEquals(Instant.parse("2026-01-02T12:00:00Z"), times.at());
        assertEquals(Set.of("a"), times.names());
    }

    @Test
    void missingMembersAreNullOnlyWhereTheyMayBe() {
        assertEquals(new Place("Rome", null, Optional.empty(), List.of(), Map.of()),
                read("{\"city\": \"Rome\", \"sizes\": [], \"shares\": {}, \"tomorrow\": 1}", Place.class));
        assertEquals("$.city is missing.", assertThrows(JsonException.class, () -> read("{\"sizes\": [], \"shares\": {}}", Place.class)).getMessage());
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "{\"b\": 128}", "{\"s\": 40000}", "{\"i\": 2147483648}", "{\"l\": 9223372036854775808}", "{\"l\": 1.5}", "{\"i\": \"1\"}", "{\"d\": true}",
        "{\"big\": 1e99999}", "{\"big\": 0.5}",
    })
    void aNumberThatDoesNotFitIsAnErrorAndNoOtherNumber(String wrong) {
        var given = new java.util.LinkedHashMap<>(Map.<String, Object>of("b", 1, "s", 1, "i", 1, "l", 1, "f", 1, "d", 1, "big", 1, "exact", 1));
        assertEquals(1, Binding.read(given, Numbers.class).i());
        ((Map<?, ?>) Json.read(wrong)).forEach((name, value) -> given.put((String) name, value));
        assertThrows(JsonException.class, () -> Binding.read(given, Numbers.class));
    }

    @Test
    void errorsNameThePathToWhatIsWrong() {
        var error = assertThrows(JsonException.class, () -> read("{\"name\": \"a\", \"children\": [{\"name\": 7, \"children\": []}]}", Node.class));
        assertEquals("$.children[0].name is 7, which is no String.", error.getMessage());
        assertTrue(assertThrows(JsonException.class, () -> read("{\"value\": -1}", Positive.class)).getMessage().contains("it is negative"));
        assertTrue(assertThrows(JsonException.class, () -> read("{\"type\": \"Line\"}", Shape.class)).getMessage().contains("\"Line\", which is no Shape"));
        assertThrows(JsonException.class, () -> read("\"MEDIUM\"", Size.class));
    }

    @Test
    void aRecordIsAnObjectWithExactlyItsComponents() {
        assertEquals(Json.read("""
                {"type": "object", "properties": {
                   "city": {"type": "string", "description": "In English"},
                   "river": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                   "since": {"anyOf": [{"type": "integer", "minimum": -2147483648, "maximum": 2147483647}, {"type": "null"}]},
                   "sizes": {"type": "array", "items": {"type": "string", "enum": ["SMALL", "LARGE"]}},
                   "shares": {"type": "object", "additionalProperties": {"type": "number"}}},
                 "required": ["city", "river", "since", "sizes", "shares"], "additionalProperties": false, "description": "A place on a map"}"""),
                Json.read(Json.write(JsonSchema.of(Place.class))));
    }

    @Test
    void aSealedInterfaceIsOneOfItsRecordsByTheirTypes() {
        assertEquals(Json.read("""
                {"$ref": "#/$defs/Shape", "$defs": {"Shape": {"oneOf": [
                   {"type": "object", "properties": {"type": {"const": "Circle"}, "radius": {"type": "number"}}, "required": ["type", "radius"], "additionalProperties": false},
                   {"type": "object", "properties": {"type": {"const": "group"}, "shapes": {"type": "array", "items": {"$ref": "#/$defs/Shape"}}},
                    "required": ["type", "shapes"], "additionalProperties": false}]}}}"""),
                Json.read(Json.write(JsonSchema.of(Shape.class))));
        assertEquals("{\"$ref\":\"#/$defs/Node\"}", Json.write(Map.of("$ref", JsonSchema.of(Node.class).get("$ref"))));
    }

    record Odd(Thread thread) {}

    @Test
    void aTypeWithoutASchemaIsNamed() {
        assertTrue(assertThrows(JsonException.class, () -> JsonSchema.of(Odd.class)).getMessage().startsWith("Odd.thread has the type java.lang.Thread"));
    }
}
