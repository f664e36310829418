package ai.llmos;

import java.util.List;

/**
 * The embeddings of a list of texts.
 *
 * @param vectors one vector for each text, in the same order
 * @param model the name that was asked for
 * @param version the version that produced them
 */
public record Embeddings(List<float[]> vectors, String model, String version, Usage usage) {}
