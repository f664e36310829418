// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.schemas.*;
import ai.llmos.internal.Transport;
import java.util.List;
import java.util.Map;

/** The datasets of the key's project. A name is NAME, NAME:ALIAS or NAME&#64;NUMBER. */
public final class Datasets extends DatasetFiles {
    /** Makes it; the client does. */
    public Datasets(Transport transport) {
        super(transport, "/llmos/v1/datasets");
    }

    /** Returns every version. */
    public List<DatasetDetails> list() {
        return each(DatasetDetails.class, "GET", "/llmos/v1/datasets", null);
    }

    /** Returns a version with its aliases, siblings and parents. */
    public DatasetDetails get(String name) {
        return one(DatasetDetails.class, "GET", "/llmos/v1/datasets/" + ref(name), null);
    }

    /** Removes a dataset (NAME), a version (NAME&#64;3) or an alias (NAME:ALIAS). */
    public RemovalDescription remove(String name) {
        return one(RemovalDescription.class, "DELETE", "/llmos/v1/datasets/" + ref(name), null);
    }

    /** Returns rows: the first ten, or others. */
    public List<RowDescription> rows(String name) {
        return each(RowDescription.class, "GET", "/llmos/v1/datasets/" + ref(name) + "/rows", null);
    }

    /** Returns rows: the first ten, or others. */
    public List<RowDescription> rows(String name, Long limit, Long skip) {
        return each(RowDescription.class, "GET", "/llmos/v1/datasets/" + ref(name) + "/rows" + query(fields("limit", limit, "skip", skip)), null);
    }

    /** Returns the result of one SELECT on the table <code>rows</code>. */
    public QueryDescription query(String name, String sql) {
        return one(QueryDescription.class, "POST", "/llmos/v1/datasets/" + ref(name) + "/query", fields("sql", sql));
    }

    /** Returns the result of one SELECT on the table <code>rows</code>. */
    public QueryDescription query(String name, String sql, Long limit) {
        return one(QueryDescription.class, "POST", "/llmos/v1/datasets/" + ref(name) + "/query", fields("sql", sql, "limit", limit));
    }

    /** Returns which rows only one of two versions has, and why they went. */
    public DifferenceDescription diff(String older, String newer) {
        return one(DifferenceDescription.class, "GET", "/llmos/v1/datasets/" + ref(older) + "/diff" + query(fields("to", newer)), null);
    }

    /** Returns which rows only one of two versions has, and why they went. */
    public DifferenceDescription diff(String older, String newer, Long limit) {
        return one(DifferenceDescription.class, "GET", "/llmos/v1/datasets/" + ref(older) + "/diff" + query(fields("to", newer, "limit", limit)), null);
    }

    /** Makes the next version, with the conversations of stored answers as rows. */
    public DatasetDetails addAnswers(String name, List<String> answers) {
        return one(DatasetDetails.class, "POST", "/llmos/v1/datasets/" + ref(name) + "/answers", fields("answers", answers));
    }

    /** Makes the next version, with the conversations of stored answers as rows. */
    public DatasetDetails addAnswers(String name, List<String> answers, String consent) {
        return one(DatasetDetails.class, "POST", "/llmos/v1/datasets/" + ref(name) + "/answers", fields("answers", answers, "consent", consent));
    }

    /** Returns what a version has: its rows by column, their lengths, and where it came from. */
    public Map<String, Object> report(String name) {
        return map("GET", "/llmos/v1/datasets/" + ref(name) + "/report", null);
    }

    /** Returns what a version has: its rows by column, their lengths, and where it came from. */
    public Map<String, Object> report(String name, String tokens, Long samples, Boolean mask) {
        return map("GET", "/llmos/v1/datasets/" + ref(name) + "/report" + query(fields("tokens", tokens, "samples", samples, "mask", mask)), null);
    }
}
