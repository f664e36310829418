package ai.llmos;

import ai.llmos.internal.Call;
import ai.llmos.internal.Transport;
import ai.llmos.json.JsonException;
import ai.llmos.nouns.VersionedNoun;
import ai.llmos.schemas.CatalogEntryDescription;
import ai.llmos.schemas.VersionDetails;
import ai.llmos.schemas.RemovalDescription;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The models that are stored on the server. A name is NAME, NAME:ALIAS or NAME@NUMBER. */
public final class Models extends VersionedNoun {
    private static final String ROOT = "/llmos/v1/models";

    Models(Transport transport) {
        super(transport, ROOT);
    }

    /** Returns every version on the server. */
    public List<Model> list() {
        return listTagged(List.of());
    }

    /** Returns the versions with all of these tags, KEY or KEY=VALUE. */
    public List<Model> listTagged(List<String> tags) {
        var found = each(VersionDetails.class, "GET", ROOT + query(Map.of("tag", tags)), null);
        return found.stream().map(info -> new Model(transport, info)).toList();
    }

    /** Returns the model behind a route's or a model's name. Throws ModelNotFoundException, which says what to do. */
    public Model get(String name) {
        return transport.request(Call.of("GET", ROOT + "/" + ref(name), null, reply -> {
            Map<String, Object> described = new LinkedHashMap<>(Call.object(reply));
            described.put("name", name);
            if (described.get("version") instanceof String version) {
                return new Model(transport, name, version, described);
            }
            throw new JsonException("the version is missing");
        }));
    }

    /** Returns a version with its files, aliases and siblings. */
    public VersionDetails details(String name) {
        return one(VersionDetails.class, "GET", ROOT + "/" + ref(name) + "/details", null);
    }

    /** Returns the card of a version, decoded. Throws NotFoundException if it was never measured. */
    public Map<String, Object> card(String name) {
        return map("GET", ROOT + "/" + ref(name) + "/card", null);
    }

    /** Returns whether a version fits the server's memory, for so many streams of so many tokens; null: the defaults. */
    public Map<String, Object> fit(String name, Long context, Long streams) {
        return map("GET", ROOT + "/" + ref(name) + "/fit" + query(fields("context", context, "streams", streams)), null);
    }

    /** Returns the models that the server can pull by name. */
    public List<CatalogEntryDescription> catalog() {
        return each(CatalogEntryDescription.class, "GET", "/llmos/v1/catalog", null);
    }

    /** Removes a model (NAME), a version (NAME@3) or an alias (NAME:ALIAS). Throws a conflict if something needs it. */
    public RemovalDescription remove(String name) {
        return one(RemovalDescription.class, "DELETE", ROOT + "/" + ref(name), null);
    }
}
