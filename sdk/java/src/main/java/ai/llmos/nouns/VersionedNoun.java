// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.schemas.*;
import ai.llmos.internal.Transport;
import java.util.List;
import java.util.Map;

/** Base of the nouns with versions: their aliases and labels. */
public abstract class VersionedNoun extends Noun {
    private final String root;

    /** Makes it; the client does. */
    protected VersionedNoun(Transport transport, String root) {
        super(transport);
        this.root = root;
    }

    /** Returns the aliases of a name, each with its last move. */
    public List<AliasMoveDescription> aliases(String name) {
        return each(AliasMoveDescription.class, "GET", root + "/" + ref(name) + "/aliases", null);
    }

    /** Returns the moves of all aliases, newest first. */
    public List<AliasMoveDescription> aliasHistory(String name) {
        return each(AliasMoveDescription.class, "GET", root + "/" + ref(name) + "/aliases/history", null);
    }

    /** Points an alias at a version. With <code>expected</code> only if it points there now; throws a conflict otherwise. */
    public AliasMoveDescription setAlias(String name, String alias, String version) {
        return one(AliasMoveDescription.class, "PUT", root + "/" + ref(name) + "/aliases/" + segment(alias), fields("version", version));
    }

    /** Points an alias at a version. With <code>expected</code> only if it points there now; throws a conflict otherwise. */
    public AliasMoveDescription setAlias(String name, String alias, String version, String expected) {
        return one(AliasMoveDescription.class, "PUT", root + "/" + ref(name) + "/aliases/" + segment(alias), fields("version", version, "expected", expected));
    }

    /** Removes an alias. Throws a conflict if a deployment or a route uses it. */
    public void removeAlias(String name, String alias) {
        none("DELETE", root + "/" + ref(name) + "/aliases/" + segment(alias), null);
    }

    /** Returns the tags and the description of a name, or of a version. */
    public LabelsDescription labels(String name) {
        return one(LabelsDescription.class, "GET", root + "/" + ref(name) + "/labels", null);
    }

    /** Sets tags, removes others, and sets the description. Without one the description stays; an empty one removes it. */
    public LabelsDescription changeLabels(String name, Map<String, String> tags, List<String> removeTags) {
        return one(LabelsDescription.class, "PATCH", root + "/" + ref(name) + "/labels", fields("tags", tags, "remove_tags", removeTags));
    }

    /** Sets tags, removes others, and sets the description. Without one the description stays; an empty one removes it. */
    public LabelsDescription changeLabels(String name, Map<String, String> tags, List<String> removeTags, String description) {
        return one(LabelsDescription.class, "PATCH", root + "/" + ref(name) + "/labels", fields("tags", tags, "remove_tags", removeTags, "description", description));
    }
}
