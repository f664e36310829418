package ai.llmos.nouns;

import ai.llmos.Settings;
import ai.llmos.internal.Call;
import ai.llmos.internal.Downloads;
import ai.llmos.internal.LocalFile;
import ai.llmos.internal.Transport;
import ai.llmos.schemas.DatasetDetails;
import ai.llmos.schemas.PreviewDescription;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/** Datasets that are made of files, or of other datasets. */
public abstract class DatasetFiles extends VersionedNoun {
    private static final String UPLOADS = "/llmos/v1/dataset-uploads";

    DatasetFiles(Transport transport, String root) {
        super(transport, root);
    }

    /** Sends files, and returns what their import would do. */
    public PreviewDescription preview(Path path, Consumer<ImportSettings> settings) {
        var body = merged(Settings.of(new ImportSettings(), settings).toMap(), "files", send(path));
        return one(PreviewDescription.class, "POST", UPLOADS + "/preview", body);
    }

    /** Sends a file, or the files of a folder, and returns the version that they become. */
    public DatasetDetails importPath(Path path, String name) {
        return importPath(path, name, settings -> {});
    }

    /** Sends a file, or the files of a folder, and returns the version that they become. */
    public DatasetDetails importPath(Path path, String name, Consumer<ImportSettings> settings) {
        return importWith(Settings.of(new ImportSettings(), settings).toMap(), name, "files", send(path));
    }

    /** Lets the server fetch files (hf:, https:, pypi: or s3:), and returns the version that they become. */
    public DatasetDetails importLocation(String location, String name, Consumer<ImportSettings> settings) {
        return importWith(Settings.of(new ImportSettings(), settings).toMap(), name, "location", location);
    }

    private DatasetDetails importWith(Map<String, Object> settings, String name, String field, Object value) {
        var request = merged(settings, "kind", "dataset_import", "name", name, field, value);
        return JobCalls.resultOf(transport, request, DatasetDetails.class);
    }

    /** Runs a recipe over a version and returns the new one: each operator has a name, and its options. */
    public DatasetDetails clean(String name, List<Map<String, Object>> operators) {
        var request = fields("kind", "dataset_clean", "dataset", name, "operators", operators);
        return JobCalls.resultOf(transport, request, DatasetDetails.class);
    }

    /** Returns what a recipe would do to a version, decoded. Nothing is kept. */
    public Map<String, Object> check(String name, List<Map<String, Object>> operators) {
        var request = fields("kind", "dataset_check", "dataset", name, "operators", operators);
        return JobCalls.resultOf(transport, request);
    }

    /** Writes the rows to a file, as JSON Lines, and returns it. */
    public Path export(String name, Path file) {
        return Downloads.to(file, transport, Call.of("GET", "/llmos/v1/datasets/" + ref(name) + "/export?columns=true", null, reply -> null));
    }

    private List<Map<String, Object>> send(Path path) {
        var files = LocalFile.at(path);
        files.forEach(file -> file.send(transport, UPLOADS));
        return files.stream().map(LocalFile::fields).toList();
    }
}
