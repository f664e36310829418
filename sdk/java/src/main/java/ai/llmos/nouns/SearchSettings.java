// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.Settings;
import java.util.List;
import java.util.Map;

/** The settings of a search. What isn't given has the server's default. */
public final class SearchSettings extends Settings {
    /** The most passages; 10. */
    public SearchSettings limit(long value) {
        put("limit", value);
        return this;
    }

    /** "text" searches for words alone, "vector" for the meaning alone, "hybrid" for both. None: the best one by the version's evaluation, or "hybrid". */
    public SearchSettings mode(String value) {
        put("mode", value);
        return this;
    }

    /** On the metadata of documents: &#123;"type": "eq", "key": "region", "value": "eu"&#125;. */
    public SearchSettings filters(Map<String, ?> value) {
        put("filters", value);
        return this;
    }

    /** Search only in these. */
    public SearchSettings documents(List<String> value) {
        put("documents", value);
        return this;
    }

    /** A model that orders the passages by how well they answer the query. */
    public SearchSettings reranker(String value) {
        put("reranker", value);
        return this;
    }
}
