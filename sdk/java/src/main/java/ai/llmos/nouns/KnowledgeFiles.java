package ai.llmos.nouns;

import ai.llmos.Page;
import ai.llmos.Settings;
import ai.llmos.errors.BadRequestException;
import ai.llmos.internal.Call;
import ai.llmos.internal.LocalFile;
import ai.llmos.internal.Problems;
import ai.llmos.internal.Transport;
import ai.llmos.schemas.DocumentDescription;
import ai.llmos.schemas.KnowledgeDetails;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;

/** Knowledge that is made of files. */
public abstract class KnowledgeFiles extends VersionedNoun {
    private static final String UPLOADS = "/llmos/v1/knowledge-uploads";
    private static final int PAGE = 1000;

    KnowledgeFiles(Transport transport, String root) {
        super(transport, root);
    }

    /** Adds files, or those of folders, or replaces the documents with their names, and returns the new version. */
    public KnowledgeDetails add(String name, List<Path> paths) {
        return add(name, paths, settings -> {});
    }

    /** Adds files, or those of folders, or replaces the documents with their names, and returns the new version. */
    public KnowledgeDetails add(String name, List<Path> paths, Consumer<AddSettings> settings) {
        return make(name, filesAt(paths), settings, false);
    }

    /** Makes the documents equal to the files of a folder, and returns the new version. */
    public KnowledgeDetails sync(String name, Path folder) {
        return sync(name, folder, settings -> {});
    }

    /** Makes the documents equal to the files of a folder, and returns the new version. */
    public KnowledgeDetails sync(String name, Path folder, Consumer<AddSettings> settings) {
        return make(name, filesAt(List.of(folder)), settings, true);
    }

    /** Measures a version with the questions of a dataset of the kind case, sets its threshold, and returns the report, decoded. */
    public Map<String, Object> evaluate(String name, String cases) {
        var request = fields("kind", "knowledge_eval", "knowledge", name, "cases", cases);
        return JobCalls.resultOf(transport, request);
    }

    /** Returns the documents of a version, by name. */
    public Page<DocumentDescription> documents(String name) {
        var path = "/llmos/v1/knowledge/" + ref(name) + "/documents";
        return page(DocumentDescription.class, path, fields("limit", PAGE), (reply, rows) ->
                Boolean.TRUE.equals(reply.get("has_more")) ? (String) Call.object(rows.get(rows.size() - 1)).get("name") : null);
    }

    private static List<LocalFile> filesAt(List<Path> paths) {
        Map<String, LocalFile> found = new LinkedHashMap<>();
        for (var path : paths) {
            for (var file : LocalFile.at(path)) {
                var other = found.put(file.name(), file);
                if (other != null) {
                    throw new BadRequestException(Problems.about("files", other.path() + " and " + file.path()
                            + " would be the same document, " + file.name() + ". Rename one, or give the folder above both."));
                }
            }
        }
        return List.copyOf(found.values());
    }

    private KnowledgeDetails make(String name, List<LocalFile> files, Consumer<AddSettings> settings, boolean replaces) {
        Set<String> missing = new HashSet<>();
        Set<String> others = new HashSet<>();
        for (int first = 0; first < files.size(); first += PAGE) {
            var part = files.subList(first, Math.min(files.size(), first + PAGE)).stream().map(LocalFile::fields).toList();
            var found = map("POST", UPLOADS + "/missing", fields("files", part));
            addTexts(found.get("digests"), missing);
            addTexts(found.get("other_files"), others);
        }
        var documents = files.stream().filter(file -> file.isNamed() || !others.contains(file.name())).toList();
        if (documents.isEmpty()) {
            throw new BadRequestException(Problems.about("files", "There are no documents: no name has the suffix of one, such as .md or .pdf."));
        }
        send(documents, missing, others);
        var request = merged(Settings.of(new AddSettings(), settings).toMap(), "kind", "knowledge_sync", "name", name,
                "files", documents.stream().map(LocalFile::fields).toList(), "replace", replaces);
        return JobCalls.resultOf(transport, request, KnowledgeDetails.class);
    }

    private static void addTexts(Object found, Set<String> texts) {
        if (found instanceof List<?> list) {
            list.forEach(each -> texts.add(String.valueOf(each)));
        }
    }

    /** Sends one file of each content that the server doesn't have. */
    private void send(List<LocalFile> documents, Set<String> missing, Set<String> others) {
        List<String> sent = new ArrayList<>();
        for (var file : documents) {
            if ((missing.contains(file.digest()) || others.contains(file.name())) && !sent.contains(file.digest())) {
                file.send(transport, UPLOADS);
                sent.add(file.digest());
            }
        }
    }
}
