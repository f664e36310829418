// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.schemas.*;
import ai.llmos.Settings;
import ai.llmos.internal.Transport;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/** The knowledge of the key's project. A name is NAME, NAME:ALIAS or NAME&#64;NUMBER. */
public final class Knowledge extends KnowledgeFiles {
    /** Makes it; the client does. */
    public Knowledge(Transport transport) {
        super(transport, "/llmos/v1/knowledge");
    }

    /** Returns every version. */
    public List<KnowledgeDetails> list() {
        return each(KnowledgeDetails.class, "GET", "/llmos/v1/knowledge", null);
    }

    /** Returns a version with its aliases and siblings. */
    public KnowledgeDetails get(String name) {
        return one(KnowledgeDetails.class, "GET", "/llmos/v1/knowledge/" + ref(name), null);
    }

    /** Removes everything under a name (NAME), a version (NAME&#64;3) or an alias (NAME:ALIAS). */
    public RemovalDescription remove(String name) {
        return one(RemovalDescription.class, "DELETE", "/llmos/v1/knowledge/" + ref(name), null);
    }

    /** Returns the passages that fit a question best, best first. */
    public SearchDescription search(String name, String query) {
        return search(name, query, given -> {});
    }

    /** Returns the passages that fit a question best, best first. */
    public SearchDescription search(String name, String query, Consumer<SearchSettings> settings) {
        return one(SearchDescription.class, "POST", "/llmos/v1/knowledge/" + ref(name) + "/search", merged(Settings.of(new SearchSettings(), settings).toMap(), "query", query));
    }

    /** Returns the passage that a citation points to, or without a span the whole text of a document. */
    public Citation passage(String name, String document) {
        return one(Citation.class, "GET", "/llmos/v1/knowledge/" + ref(name) + "/documents/" + path(document), null);
    }

    /** Returns the passage that a citation points to, or without a span the whole text of a document. */
    public Citation passage(String name, String document, Long start, Long end) {
        return one(Citation.class, "GET", "/llmos/v1/knowledge/" + ref(name) + "/documents/" + path(document) + query(fields("start", start, "end", end)), null);
    }

    /** Returns a new version without these documents of the newest one. */
    public KnowledgeDetails removeDocuments(String name, List<String> documents) {
        return one(KnowledgeDetails.class, "POST", "/llmos/v1/knowledge/" + ref(name) + "/remove-documents", fields("documents", documents));
    }

    /** Returns the last evaluation of a version. */
    public Map<String, Object> evaluation(String name) {
        return map("GET", "/llmos/v1/knowledge/" + ref(name) + "/evaluation", null);
    }
}
