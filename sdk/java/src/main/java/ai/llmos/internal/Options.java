package ai.llmos.internal;

/**
 * The options of all calls to one server.
 *
 * @param readTimeoutSeconds how long the server may send nothing
 * @param maxReplyBytes the largest reply that is kept in memory, and the largest event of a stream
 */
public record Options(double readTimeoutSeconds, double connectTimeoutSeconds, int maxRetries, long maxReplyBytes) {}
