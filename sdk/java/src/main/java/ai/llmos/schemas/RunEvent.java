// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.util.Map;

/**
 * One event of a run. The fields depend on the type; fields without a value are left out.
 *
 * @param type text, tool, step, citation, done (the last event of a run with an answer) or error (the last event of any other run).
 * @param text A piece of the answer.
 * @param name The name of the tool or the step.
 * @param state The state of the tool or the step: begun, done or failed.
 * @param isRepeated The step's result was read from the journal; the step wasn't repeated.
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
