// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Default;
import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.time.Instant;
import java.util.List;
import java.util.Map;

/**
 * A Version with its files, aliases and siblings.
 *
 * @param name The name in the request, or the model's name.
 * @param version The reference of the Version, such as <code>smollm2&#64;1</code>.
 * @param digest null for a model that a provider runs, like every other unknown field.
 * @param sampling The default sampling options, which the model's makers recommend.
 * @param parent The digest of the Version that it was made from.
 * @param recipe The recipe by which it was made from its parent.
 * @param madeBy The user who made or imported it.
 * @param tags The Version's own tags. A tag without a value has an empty one.
 * @param modelTags The tags of the model, which all of its Versions share.
 * @param versions The references of all Versions of the model.
 * @param aliases The aliases that point at this Version.
 * @param madeFrom The reference of the Version that it was made from; its digest if that Version isn't stored here.
 * @param task Its task: <code>generate</code> (text), <code>embed</code> (texts as vectors) or <code>rerank</code> (scores of documents for a query). null if this engine doesn't have its family.
 * @param runs This engine can run it.
 * @param unsupported Why this engine can't run it.
 * @param warnings Peculiarities of this model, in sentences.
 * @param encrypted Its files are encrypted at rest.
 */
@Lenient
public record VersionDetails(
        String name,
        String version,
        @Nullable String digest,
        String family,
        String format,
        @Nullable String quantization,
        @Nullable Long parameters,
        @Nullable Long contextLength,
        Map<String, Double> sampling,
        long sizeBytes,
        @Nullable String license,
        @Nullable String source,
        @Nullable String parent,
        @Nullable Map<String, Object> recipe,
        @Nullable String madeBy,
        @Nullable String description,
        Map<String, String> tags,
        @Nullable String modelDescription,
        Map<String, String> modelTags,
        @Nullable Instant createdAt,
        List<String> versions,
        List<String> aliases,
        @Nullable String madeFrom,
        @Nullable String task,
        @Default("true") boolean runs,
        @Nullable String unsupported,
        List<String> warnings,
        boolean encrypted,
        List<Map<String, Object>> files) {}
