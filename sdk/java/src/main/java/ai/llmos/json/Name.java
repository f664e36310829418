package ai.llmos.json;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * The name in JSON: of a component of a record, otherwise its own with underscores ({@code numCalls}: {@code num_calls}); or
 * of a record below a sealed interface, otherwise its simple name, as the member {@code type} tells it.
 */
@Documented
@Retention(RetentionPolicy.RUNTIME)
@Target({ElementType.RECORD_COMPONENT, ElementType.TYPE, ElementType.PARAMETER})
public @interface Name {
    /** The name. */
    String value();
}
