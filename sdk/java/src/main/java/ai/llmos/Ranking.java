package ai.llmos;

import java.util.List;

/**
 * Documents by their relevance to a query.
 *
 * @param results the most relevant one first
 * @param model the name that was asked for
 * @param version the version that scored them
 */
public record Ranking(List<Result> results, String model, String version) {
    /**
     * One document.
     *
     * @param index its position in the request
     */
    public record Result(int index, double score) {}
}
