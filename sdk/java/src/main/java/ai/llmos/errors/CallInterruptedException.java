package ai.llmos.errors;

/** The thread that called was interrupted. Its interrupt status is set, and the server has stopped working on the call. */
public class CallInterruptedException extends LLMOSException {
    private static final long serialVersionUID = 1;

    /** Makes one. */
    public CallInterruptedException(Facts facts) {
        super(facts);
    }
}
