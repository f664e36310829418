package ai.llmos.service;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/** The message of a method to the model: a text in which {@code {{name}}} stands for a parameter, and {@code {{it}}} for the only one. */
@Documented
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.METHOD)
public @interface UserMessage {
    /** The text. */
    String value();
}
