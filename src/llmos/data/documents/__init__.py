"""Documents: files that people write for people, as Markdown, with places that citations can point to.

    document = parse_document(Path("handbook.pdf"))         # in a process apart, with limits; raises BadDocument
    document.text                                           # Markdown; every offset below counts its characters
    for section in document.sections:                       # they cover the text, in order, without overlapping
        section.path, section.page, document.text[section.start : section.end]
    document.page_at(offset), document.section_at(offset)   # so a citation is digest, page, path, span and quote
    document.kept, document.left_out, document.notes        # the share of the found text that is here, and the rest

A format is one file in parsers/. What a file is, its content says; its name decides only between kinds of text.

    parsing                            starts the process, and knows its limits
    parser_process                     what runs there
    parsers                            one module for each format
    decoding | dom_markdown | recognition
    archive | builder | dom_table
    chunks | passages                  for searches; for rows of datasets
    document | markdown_table
"""
