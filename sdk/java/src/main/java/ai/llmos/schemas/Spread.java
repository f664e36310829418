// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;

/**
 * The distribution of measured values.
 */
@Lenient
public record Spread(
        long num,
        double mean,
        double p50,
        double p95,
        double p99) {}
