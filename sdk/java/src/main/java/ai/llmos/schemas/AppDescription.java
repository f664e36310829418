// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.time.Instant;
import java.util.List;
import java.util.Map;

/**
 * A Version of an application.
 *
 * @param version NAME&#64;NUMBER.
 * @param digest sha256:&lt;hex&gt; of the list of its files: the same files are the same Version.
 * @param model The route or the model that it asks.
 * @param permissions The permissions of the application's key on a server, besides those that every application has.
 * @param prompts The Versions of prompts that were made from its files.
 */
@Lenient
public record AppDescription(
        String name,
        String version,
        String digest,
        long numFiles,
        long sizeBytes,
        String model,
        List<String> permissions,
        List<String> prompts,
        @Nullable String madeBy,
        @Nullable String description,
        Map<String, String> tags,
        @Nullable String appDescription,
        Map<String, String> appTags,
        @Nullable Instant createdAt) {}
