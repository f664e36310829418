// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.util.Map;

/**
 * One event of a run. Which fields it has depends on its type; those without a value are left out.
 *
 * @param type text, tool, step, citation, done (the last one of a run with an answer) or error (the last one of any other).
 * @param text A piece of the answer.
 * @param name Of a tool or a step.
 * @param state Of a tool or a step: begun, done or failed.
 * @param isRepeated The step's result comes out of the journal.
 */
@Lenient
public record RunEvent(
        String type,
        String text,
        String name,
        String state,
        @Nullable Object arguments,
        String callId,
        @Nullable Object result,
        boolean isRepeated,
        @Nullable Citation citation,
        @Nullable RunResult run,
        @Nullable Map<String, Object> error) {}
