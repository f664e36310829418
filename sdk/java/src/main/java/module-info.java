/** The client of an LLMOS server. It depends on nothing but Java. */
module ai.llmos {
    exports ai.llmos;
    exports ai.llmos.errors;
    exports ai.llmos.json;
    exports ai.llmos.nouns;
    exports ai.llmos.schemas;
    exports ai.llmos.service;
}
