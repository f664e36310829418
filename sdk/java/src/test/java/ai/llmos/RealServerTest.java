package ai.llmos;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.llmos.errors.BadRequestException;
import ai.llmos.errors.NotFoundException;
import ai.llmos.json.Nullable;
import ai.llmos.service.AiService;
import ai.llmos.service.Memory;
import ai.llmos.service.Session;
import ai.llmos.service.Tool;
import ai.llmos.service.Tools;
import ai.llmos.json.Name;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable;
import org.junit.jupiter.api.io.TempDir;

/** The client with a real server, whose models are tiny: they answer at once and make no sense. */
@EnabledIfEnvironmentVariable(named = "LLMOS_ENDPOINT", matches = ".+")
class RealServerTest {
    private static LLMOS llmos;
    private static Model model;

    enum Size { SMALL, LARGE }

    record Place(Size size, @Nullable Boolean isWet, int number) {}

    sealed interface Shape permits Circle, Square {}

    record Circle(boolean isFilled) implements Shape {}

    record Square(Size size) implements Shape {}

    interface Guide {
        String ask(@Session String user, String text);

        Shape shape(String text);
    }

    static class Weather {
        @Tool("The weather in a city, now")
        public String weather(@Name("sunny") boolean sunny) {
            return "It is sunny: " + sunny;
        }
    }

    @BeforeAll
    static void connect() {
        llmos = LLMOS.fromEnv();
        llmos.routes().set("dialogue", "smollm2");
        model = llmos.models().get("dialogue");
    }

    @AfterAll
    static void close() {
        llmos.close();
    }

    @Test
    void aRouteAnswersWithTextAndItsVersion() {
        var answer = model.generateText("The meaning of life is", options -> options.maxTokens(8).temperature(0));
        assertEquals("dialogue", answer.model());
        assertEquals("smollm2@1", answer.version());
        assertEquals(8, answer.usage().completionTokens());
        assertEquals(answer.text(), model.generateText("The meaning of life is", options -> options.maxTokens(8).temperature(0)).text());
    }

    @Test
    void aStreamGivesThePiecesOfTheSameAnswer() {
        var messages = List.of(Message.system("Be short."), Message.user("Tell me a story."));
        var whole = model.chat(messages, options -> options.maxTokens(12).temperature(0));
        try (var stream = model.streamChat(messages, options -> options.maxTokens(12).temperature(0))) {
            var pieces = String.join("", stream.stream().toList());
            assertEquals(whole.text(), pieces);
            assertEquals(whole.finishReason(), stream.answer().finishReason());
            assertEquals(whole.usage().completionTokens(), stream.usage().orElseThrow().completionTokens());
        }
    }

    @Test
    void aStreamThatIsClosedStopsTheModel() {
        var stream = model.streamText("Tell me a story.", options -> options.maxTokens(400).ignoreEos(true));
        assertTrue(stream.hasNext());
        stream.close();
        assertFalse(stream.hasNext());
        awaitIdle();
    }

    @Test
    void aFutureThatIsCancelledWhileTheModelWritesStopsIt() throws Exception {
        var begun = new CountDownLatch(1);
        var future = llmos.async().call(client -> {
            try (var stream = model.streamText("Go on.", options -> options.maxTokens(1500).ignoreEos(true).user("cancelled"))) {
                stream.next();
                begun.countDown();
                return stream.readAll();
            }
        });
        begun.await();
        future.cancel(true);
        awaitIdle();
        assertEquals(List.of("cancelled"), outcomesOf("cancelled"));
    }

    /** Returns the outcomes of a user's calls, once the server has written one down. */
    private static List<String> outcomesOf(String user) {
        while (true) {
            var found = llmos.answers().list(filters -> filters.user(user)).stream().map(each -> each.outcome()).toList();
            if (!found.isEmpty()) {
                return found;
            }
        }
    }

    /** Waits until the server has ended every call; the surrounding run has a limit of time. */
    private static void awaitIdle() {
        while (llmos.deployments().get("smollm2").replicas().stream()
                .map(each -> (Map<?, ?>) each.get("load")).anyMatch(load -> load != null && !Long.valueOf(0).equals(load.get("num_running")))) {
            Thread.onSpinWait();
        }
    }

    @Test
    void recordsAndSealedInterfacesAreWhatTheModelWrites() {
        var place = model.generate("What is it? Answer in JSON.", Place.class, options -> options.maxTokens(200).temperature(0));
        assertTrue(place.size() != null);
        var shape = AiService.builder(Guide.class).model(model).options(options -> options.maxTokens(100)).build().shape("A shape?");
        assertTrue(shape instanceof Circle || shape instanceof Square);
    }

    @Test
    void aToolThatMustBeCalledIsCalledWithArgumentsThatFit() {
        var tools = Tools.of(new Weather());
        var answer = model.chat(List.of(Message.user("Rome?")), options -> options.tools(tools.specs()).toolChoice("required").maxTokens(60).temperature(0));
        var messages = new java.util.ArrayList<>(List.of(Message.user("Rome?"), answer.message()));
        answer.toolCalls().forEach(call -> messages.add(tools.run(call)));
        assertTrue(messages.get(2).content().toString().startsWith("It is sunny: "));
        assertFalse(model.chat(messages, options -> options.tools(tools.specs()).toolChoice("none").maxTokens(8)).finishReason().isEmpty());
    }

    @Test
    void aServiceRemembersWholeTurns() {
        var memory = Memory.ofTurns(2);
        var guide = AiService.builder(Guide.class).model(model).memory(memory).options(options -> options.maxTokens(6)).build();
        for (var text : List.of("one", "two", "three")) {
            guide.ask("ann", text);
        }
        assertEquals(List.of("user", "assistant", "user", "assistant"), memory.messages("ann").stream().map(Message::role).toList());
        assertEquals("two", memory.messages("ann").get(0).content());
        assertEquals(List.of(), memory.messages("bob"));
    }

    @Test
    void textsBecomeVectorsAndDocumentsAreSorted() {
        var encoder = llmos.models().get("minilm");
        var made = encoder.embed(List.of("A river.", "A tax."));
        assertEquals(2, made.vectors().size());
        assertEquals("minilm@1", made.version());
        var ranking = encoder.rerank("A river.", List.of("A tax.", "A river."), options -> options.topN(1));
        assertEquals(1, ranking.results().get(0).index());
    }

    @Test
    void givenTextsAreScoredAndTokensCounted() {
        var scored = model.likelihood("A llama is", List.of(" an animal", " a tax"));
        assertEquals(1, scored.options().stream().mapToDouble(each -> each.probability()).sum(), 1e-9);
        assertEquals(scored.best(), scored.options().get(scored.bestIndex().intValue()));
        assertTrue(model.countTokens(List.of(Message.user("Hello"))).numTokens() > 0);
    }

    @Test
    void routesDeploymentsAndRolloutsAreChanged() {
        llmos.routes().set("gpt-3", Map.of("smollm2@1", 100), settings -> settings.sticky("user").reason("A test"));
        assertEquals("user", llmos.routes().get("gpt-3").sticky());
        assertEquals("A test", llmos.routes().history("gpt-3").get(0).reason());
        assertEquals(List.of(), llmos.rollouts().list("gpt-3"));
        assertTrue(llmos.deployments().list().stream().allMatch(each -> each.version().contains("@")));
        llmos.models().setAlias("smollm2", "prod", "smollm2@1");
        assertEquals("prod", llmos.models().aliases("smollm2").get(0).alias());
        llmos.routes().remove("gpt-3");
        var error = assertThrows(NotFoundException.class, () -> llmos.routes().get("gpt-3"));
        assertEquals(404, error.status());
        assertTrue(error.requestId().isPresent());
    }

    @Test
    void anUnknownModelSaysWhatToDo() {
        var error = assertThrows(NotFoundException.class, () -> llmos.models().get("no-such-model"));
        assertEquals("model_not_found", error.code());
        assertTrue(error.getMessage().contains("no-such-model"));
    }

    @Test
    void answersAreListedPageByPageAndGetFeedback() {
        for (int i = 0; i < 3; i++) {
            model.generateText("Number " + i, options -> options.maxTokens(1).user("page"));
        }
        var page = llmos.answers().list(filters -> filters.user("page").limit(2));
        assertEquals(2, page.data().size());
        assertEquals(3, page.stream().count());
        var given = llmos.feedback().give(page.data().get(0).id(), fields -> fields.rating("up").comment("Good"));
        assertEquals("up", given.rating());
        assertEquals(given.id(), llmos.feedback().list(filters -> filters.rating("up")).stream().findFirst().orElseThrow().id());
        llmos.feedback().remove(given.id());
    }

    @Test
    void filesBecomeDatasetsAndKnowledge(@TempDir Path folder) throws Exception {
        Files.writeString(folder.resolve("chat.jsonl"), "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"assistant\", \"content\": \"Hello\"}]}\n");
        var made = llmos.datasets().importPath(folder.resolve("chat.jsonl"), "java");
        assertEquals(1, made.numRows());
        assertEquals(1, llmos.datasets().query("java", "select count(*) as n from rows").rows().size());
        llmos.datasets().export("java", folder.resolve("out.jsonl"));
        assertTrue(Files.readString(folder.resolve("out.jsonl")).contains("Hello"));
        Files.writeString(Files.createDirectory(folder.resolve("docs")).resolve("river.md"), "# Rivers\n\nThe Tiber is a river in Rome.\n");
        var knowledge = llmos.knowledge().sync("rivers", folder.resolve("docs"));
        assertEquals(1, knowledge.numDocuments());
        assertEquals("river.md", llmos.knowledge().documents("rivers").iterator().next().name());
        var hits = llmos.knowledge().search("rivers", "Tiber", settings -> settings.mode("text").limit(1)).hits();
        assertTrue(hits.get(0).text().contains("Tiber"));
    }

    @Test
    void aFolderBecomesAVersionOfAnApplication(@TempDir Path folder) throws Exception {
        assertThrows(BadRequestException.class, () -> llmos.apps().create(folder));
        Files.writeString(folder.resolve("app.yaml"), "name: java\nmodel: smollm2\nprompt: prompts/java.md\n");
        Files.writeString(Files.createDirectory(folder.resolve("prompts")).resolve("java.md"), "You help.\n");
        Files.writeString(folder.resolve("long-".repeat(30) + ".txt"), "A name that a tar file has in a record of its own.\n");
        Files.writeString(folder.resolve(".hidden"), "not a part of it");
        assertEquals("java@1", llmos.apps().create(folder).version());
        assertEquals(3, llmos.apps().get("java").files().size());
        assertEquals("java@1", llmos.apps().create(folder).version());
    }

    @Test
    void anEvalRunsToItsEnd() {
        Map<String, Object> suite = Map.of("name", "java", "cases", List.of(Map.of("id", "a", "input", "Hi", "checks", List.of(Map.of("contains", "no such text")))));
        var run = llmos.evals().run(suite, List.of("smollm2"));
        assertEquals("finished", run.state());
        assertEquals(1, run.results().size());
        assertEquals(run.id(), llmos.evals().list().get(0).id());
    }

    @Test
    void callsWithFuturesRunBesideEachOther() throws Exception {
        var model = llmos.async().models().get("dialogue").get();
        var futures = List.of("a", "b", "c").stream().map(prompt -> model.generateText(prompt, options -> options.maxTokens(4))).toList();
        for (var future : futures) {
            assertEquals("smollm2@1", future.get().version());
        }
        assertFalse(llmos.async().call(client -> client.routes().list()).get().isEmpty());
    }
}
