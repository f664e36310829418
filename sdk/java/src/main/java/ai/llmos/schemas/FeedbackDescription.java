// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Default;
import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.time.Instant;
import java.util.Map;

/**
 * The JSON object FeedbackDescription.
 *
 * @param answer The id of the answer; in a vote, of the chosen one.
 * @param actor The id of the key, or <code>user:NAME</code>, that gave the feedback.
 */
@Lenient
public record FeedbackDescription(
        String id,
        @Default("\"rating\"") String kind,
        String answer,
        String rating,
        String actor,
        Map<String, Object> content,
        @Nullable Instant createdAt,
        @Nullable Instant expiresAt) {}
