package ai.llmos;

import static ai.llmos.ScriptedServer.json;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.llmos.errors.LLMOSException;
import ai.llmos.json.Description;
import ai.llmos.json.Json;
import ai.llmos.json.Name;
import ai.llmos.json.Nullable;
import ai.llmos.schemas.RunEvent;
import ai.llmos.schemas.RunResult;
import ai.llmos.service.AiService;
import ai.llmos.service.Memory;
import ai.llmos.service.Session;
import ai.llmos.service.SystemMessage;
import ai.llmos.service.Tool;
import ai.llmos.service.Tools;
import ai.llmos.service.UserMessage;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Flow.Publisher;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Interfaces whose calls go to a model or to an application. */
@Timeout(60)
class AiServiceTest {
    private final ScriptedServer server = new ScriptedServer();
    private final LLMOS client = server.client();
    private final Model model = Replies.model(client, server);

    record Place(String city, @Nullable String river) {}

    @SystemMessage("You answer in one sentence.")
    interface Guide {
        String ask(@Session String user, String text);

        Answer answer(String text);

        @SystemMessage("You write JSON.")
        @UserMessage("Name a city in {{country}} by {{river}}.")
        Place place(@Name("country") String country, @Name("river") String river);

        List<Place> places(Place like);

        CompletableFuture<Integer> count(String text);

        Publisher<String> publish(String text);

        EventStream<String> tell(@Session String user, String text);

        default String twice(String text) {
            return ask("ann", text) + ask("ann", text);
        }
    }

    static class Clock {
        int numCalls;

        @Tool("The time in a city")
        String time(@Name("city") @Description("In English") String city, @Name("zone") @Nullable String zone) {
            numCalls++;
            if (city.equals("Atlantis")) {
                throw new IllegalStateException("There is no such city.");
            }
            return city + " " + zone;
        }
    }

    private final Memory memory = Memory.ofTurns(2);
    private final Clock clock = new Clock();
    private final Guide guide = AiService.builder(Guide.class).model(model).memory(memory).tools(clock).maxSteps(3).build();

    @AfterEach
    void close() {
        client.close();
        server.close();
    }

    private List<?> messages(int request) {
        return (List<?>) ((Map<?, ?>) server.received.get(request).body()).get("messages");
    }

    private List<Object> roles(int request) {
        return messages(request).stream().<Object>map(each -> ((Map<?, ?>) each).get("role")).toList();
    }

    @Test
    void aMethodSaysItsParameterAndRemembersWholeTurns() {
        server.replies(json(Replies.chat("One")), json(Replies.chat("Two")), json(Replies.chat("Three")), json(Replies.chat("Four")));
        assertEquals("OneTwo", guide.twice("Hi"));
        assertEquals("Three", guide.ask("ann", "Hi"));
        assertEquals("Four", guide.ask("bob", "Hi"));
        assertEquals(List.of("system", "user", "assistant", "user", "assistant", "user"), roles(2));
        assertEquals(List.of("system", "user"), roles(3));
        assertEquals("Two", memory.messages("ann").get(1).content());
    }

    @Test
    void aTemplateIsFilledAndWhatIsFilledInIsNoTemplate() {
        server.replies(json(Replies.chat("{\"city\": \"Rome\", \"river\": null}")));
        assertEquals(new Place("Rome", null), guide.place("{{river}}", "water"));
        assertEquals("Name a city in {{river}} by water.", ((Map<?, ?>) messages(0).get(1)).get("content"));
        assertEquals("You write JSON.", ((Map<?, ?>) messages(0).get(0)).get("content"));
        assertTrue(Json.write(server.received.get(0).body()).contains("\"structured_outputs\":{\"json\":{\"type\":\"object\",\"properties\":{\"city\""));
    }

    @Test
    void listsNumbersAndFuturesAreRead() throws Exception {
        server.replies(json(Replies.chat("[{\"city\": \"Rome\", \"river\": \"Tiber\"}]")), json(Replies.chat("7")));
        assertEquals(List.of(new Place("Rome", "Tiber")), guide.places(new Place("Paris", null)));
        assertEquals("{\"city\":\"Paris\",\"river\":null}", ((Map<?, ?>) messages(0).get(1)).get("content"));
        assertEquals(7, guide.count("How many?").get(20, TimeUnit.SECONDS));
    }

    @Test
    void anAnswerThatIsNoneOfTheTypeSaysWhy() {
        server.replies(json(Replies.chat("[{\"city\": 7, \"river\": null}]")));
        var error = assertThrows(LLMOSException.class, () -> guide.places(new Place("a", null)));
        assertEquals("wrong_output", error.code());
        assertTrue(error.getMessage().contains("$[0].city is 7"), error::getMessage);
    }

    @Test
    void toolsAreRunUntilTheModelAnswers() {
        server.replies(json(Replies.calls("time", "{\"city\": \"Rome\"}", "time", "{\"city\": \"Atlantis\"}", "time", "{\"zone\": \"UTC\"}", "spell", "{}")),
                json(Replies.chat("Noon")));
        assertEquals("Noon", guide.answer("When?").text());
        var results = messages(1).subList(3, 7).stream().map(each -> ((Map<?, ?>) each).get("content")).toList();
        assertEquals(List.of("Rome null", "The tool failed: There is no such city.", "The arguments can't be used: city is missing.", "There is no tool spell."), results);
        assertEquals("call_0", ((Map<?, ?>) messages(1).get(3)).get("tool_call_id"));
    }

    @Test
    void aModelThatCallsForEverIsStopped() {
        server.replies(json(Replies.calls("time", "{\"city\": \"Rome\"}")), json(Replies.calls("time", "{\"city\": \"Rome\"}")), json(Replies.calls("time", "{\"city\": \"Rome\"}")));
        var error = assertThrows(LLMOSException.class, () -> guide.ask("ann", "When?"));
        assertEquals("limit_reached", error.code());
        assertEquals(List.of(), memory.messages("ann"));
    }

    @Test
    void aStreamThatIsClosedLeavesNoHalfTurn() throws Exception {
        server.replies(server.hanging(Map.of("id", "chat-1", "model", "smollm2@1", "choices", List.of(Map.of("delta", Map.of("content", "Hel"))))));
        try (var stream = guide.tell("ann", "Hi")) {
            assertEquals("Hel", stream.next());
        }
        assertTrue(server.hungUp.await(20, TimeUnit.SECONDS));
        assertEquals(List.of(), memory.messages("ann"));
    }

    @Test
    void piecesArePublishedAcrossTools() throws Exception {
        server.replies(ScriptedServer.events(Replies.chatEvents(Map.of("content", "Wait. ", "tool_calls", Replies.toolCalls("time", "{\"city\": \"Rome\"}")), "tool_calls")),
                ScriptedServer.events(Replies.chatEvents(Map.of("content", "Noon."), "stop")));
        var collected = new Collecting<String>(Long.MAX_VALUE);
        guide.publish("When?").subscribe(collected);
        assertEquals(List.of("Wait. ", "Noon."), collected.all());
        assertEquals(1, clock.numCalls);
    }

    interface Unnamed {
        String ask(String one, String two);
    }

    interface Wrong {
        EventStream<Integer> numbers(String text);
    }

    interface Template {
        @UserMessage("Hello {{nobody}}")
        String ask(String text);
    }

    @Test
    void mistakesInAnInterfaceAreFoundWhenItIsMade() {
        for (var type : List.of(Unnamed.class, Wrong.class, Template.class, String.class)) {
            assertThrows(IllegalArgumentException.class, () -> AiService.builder(type).model(model).build());
        }
        assertThrows(IllegalArgumentException.class, () -> Tools.of(new Object()));
        assertThrows(IllegalArgumentException.class, () -> Tools.of(new Clock(), new Clock()));
        assertFalse(guide.equals(null));
        assertEquals("Guide[model=dialogue]", guide.toString());
    }

    // Applications

    record Reply(String text, long number) {}

    interface Support {
        Reply ask(@Session String user, String text);

        RunResult run(Map<String, Object> input);

        String text(String text);

        EventStream<RunEvent> events(@Session String user, String text);
    }

    @Test
    void anApplicationIsAnInterface() {
        var bot = client.app("support", Support.class);
        server.replies(json(Map.of("id", "run-1", "state", "succeeded", "text", "Here", "output", Map.of("text", "Here", "number", 9007199254740993L))));
        assertEquals(new Reply("Here", 9007199254740993L), bot.ask("u42", "Where?"));
        assertEquals("/llmos/v1/apps/support/runs", server.received.get(0).path());
        assertEquals(Map.of("input", "Where?", "session", "u42"), server.received.get(0).body());
        server.replies(json(Map.of("id", "run-2", "state", "waiting", "waits_for", "approval")), json(Map.of("id", "run-2", "state", "waiting", "waits_for", "approval")));
        assertEquals("approval", bot.run(Map.of("a", 1)).waitsFor());
        assertTrue(assertThrows(LLMOSException.class, () -> bot.text("Hi")).getMessage().contains("resume()"));
    }

    @Test
    void theEventsOfARunEndWithIt() {
        var bot = client.app("support", Support.class);
        server.replies(ScriptedServer.events(Map.of("type", "text", "text", "Here"), Map.of("type", "done", "run", Map.of("id", "run-1", "state", "succeeded"))));
        List<String> types = new ArrayList<>();
        bot.events("u42", "Where?").forEach(event -> types.add(event.type()));
        assertEquals(List.of("text", "done"), types);
        server.replies(ScriptedServer.events(Map.of("type", "error", "error", Map.of("code", "app_failed", "message", "It broke."))));
        var error = assertThrows(LLMOSException.class, () -> bot.events("u42", "Where?").hasNext());
        assertEquals(424, error.status());
    }
}
