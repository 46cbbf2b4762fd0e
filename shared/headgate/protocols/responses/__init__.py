"""OpenAI's Responses API, on both sides: as a server to our clients and as a client to an upstream.

Quirks of a provider row that this package knows:

=====================  ===============================================================================================
``system_role``        has no ``developer`` role
``no_custom_tools``    has neither free-text tools nor namespaces: both are offered as functions, by translation
``no_allowed_tools``   ``tool_choice`` is a word or a function: other tools are left out, or the word must do
``no_verbosity``       passes over ``text.verbosity``
``efforts_listed``     takes an effort only of models whose levels the catalogue lists (xAI)
``seals_only``         ``include`` asks for sealed reasoning and nothing else (xAI)
``search_domains``     its web search is limited to and by domains, and by nothing else (xAI)
``files_by_url``       reads files at an address, and none that are sent along (xAI)
``one_summary``        gives summaries of one length, and refuses to be asked for another (Hugging Face)
``texts_only``         a tool's output is text (Hugging Face)
=====================  ===============================================================================================
"""
