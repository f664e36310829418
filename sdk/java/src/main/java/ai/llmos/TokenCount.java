package ai.llmos;

/**
 * The size of a prompt.
 *
 * @param contextLength the most tokens that a prompt and its answer may have together
 */
public record TokenCount(long numTokens, long contextLength) {}
