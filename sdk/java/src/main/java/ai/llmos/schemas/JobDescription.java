// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.time.Instant;
import java.util.List;
import java.util.Map;

/**
 * The JSON object JobDescription.
 *
 * @param kind pull, push, quantize, prune, card, encrypt, verify, replay, dataset_import, model_import, dataset_clean, dataset_check, knowledge_sync or knowledge_eval.
 * @param state queued, running, succeeded, failed, cancelled or interrupted (the server stopped while it ran).
 * @param request The request that started the job, with the exact Version in place of a name that can move to another.
 * @param progress One step for each part, in the order in which the parts began.
 * @param result The description of the Version that was pulled or made, the card, or the signature; null until it succeeds.
 * @param error null unless the job failed or was interrupted.
 */
@Lenient
public record JobDescription(
        String id,
        String project,
        String kind,
        String state,
        Map<String, Object> request,
        List<Map<String, Object>> progress,
        @Nullable Map<String, Object> result,
        @Nullable JobFailure error,
        @Nullable String actor,
        @Nullable Instant createdAt,
        @Nullable Instant startedAt,
        @Nullable Instant endedAt) {}
