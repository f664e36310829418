package ai.llmos;

/** The options of sorting documents. */
public final class RerankOptions extends Settings {
    /** Return only so many documents, the best ones. */
    public RerankOptions topN(int value) {
        put("top_n", value);
        return this;
    }

    /** Tell a reranker that follows instructions what a relevant document is. */
    public RerankOptions instruction(String value) {
        put("instruction", value);
        return this;
    }

    /** Cut documents that are too long, which is an error otherwise. */
    public RerankOptions truncate(boolean value) {
        put("truncate", value ? true : null);
        return this;
    }
}
