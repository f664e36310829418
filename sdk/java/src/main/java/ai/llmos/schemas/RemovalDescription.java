// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import java.util.List;

/**
 * The Versions and aliases that were removed.
 */
@Lenient
public record RemovalDescription(
        List<String> versions,
        List<String> aliases,
        long freedBytes) {}
