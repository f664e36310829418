// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.errors;

/** The program at the endpoint didn't prove that it is the owner's server. Codes: {@code unknown_server}. */
public class UnknownServerException extends ConnectionFailedException {
    private static final long serialVersionUID = 1;

    /** Makes one. */
    public UnknownServerException(Facts facts) {
        super(facts);
    }
}
