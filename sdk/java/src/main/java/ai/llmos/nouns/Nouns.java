// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.internal.Transport;

/** The nouns of a server. */
public abstract class Nouns {
    /** Runs the calls. */
    protected final Transport transport;

    /** Makes it; the client does. */
    protected Nouns(Transport transport) {
        this.transport = transport;
    }

    /** The names that callers ask for. */
    public final Routes routes() {
        return new Routes(transport);
    }

    /** The versions that the server runs. */
    public final Deployments deployments() {
        return new Deployments(transport);
    }

    /** Routes that move to another version, in steps, on evidence. */
    public final Rollouts rollouts() {
        return new Rollouts(transport);
    }

    /** Long work on the server. It goes on whether or not a client follows it. */
    public final Jobs jobs() {
        return new Jobs(transport);
    }

    /** The answers that a server has given: their facts. */
    public final GivenAnswers answers() {
        return new GivenAnswers(transport);
    }

    /** The opinions of persons on answers. */
    public final Feedback feedback() {
        return new Feedback(transport);
    }

    /** The datasets of the key's project. A name is NAME, NAME:ALIAS or NAME&#64;NUMBER. */
    public final Datasets datasets() {
        return new Datasets(transport);
    }

    /** The knowledge of the key's project. A name is NAME, NAME:ALIAS or NAME&#64;NUMBER. */
    public final Knowledge knowledge() {
        return new Knowledge(transport);
    }

    /** The applications of the key's project: their versions, what is deployed, and their runs. */
    public final Apps apps() {
        return new Apps(transport);
    }

    /** Runs of suites of cases, with verdicts. */
    public final Evals evals() {
        return new Evals(transport);
    }
}
