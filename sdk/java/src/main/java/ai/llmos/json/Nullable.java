package ai.llmos.json;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * A component of a record, a parameter or a result that may be null. Its JSON schema allows null, and a missing member is
 * read as null. Any other annotation of this name that is kept at run time has the same effect.
 */
@Documented
@Retention(RetentionPolicy.RUNTIME)
@Target({ElementType.RECORD_COMPONENT, ElementType.PARAMETER})
public @interface Nullable {}
