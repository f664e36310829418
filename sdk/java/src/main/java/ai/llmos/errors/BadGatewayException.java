// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.errors;

/** The status 502, Bad Gateway. Codes: {@code download_failed}, {@code replica_failed}, {@code provider_failed}. */
public class BadGatewayException extends LLMOSException {
    private static final long serialVersionUID = 1;

    /** Makes one. */
    public BadGatewayException(Facts facts) {
        super(facts);
    }
}
