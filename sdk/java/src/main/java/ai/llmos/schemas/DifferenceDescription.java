// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import java.util.List;
import java.util.Map;

/**
 * The JSON object DifferenceDescription.
 *
 * @param numSame The number of distinct rows that both Versions have.
 * @param removed The first rows that only the older Version has.
 * @param added The first rows that only the newer Version has.
 */
@Lenient
public record DifferenceDescription(
        String older,
        String newer,
        long numSame,
        long numRemoved,
        long numAdded,
        List<Map<String, Object>> removed,
        List<Map<String, Object>> added) {}
