"""The plugins that come with modelpress. Each is found through its entry point, as anyone's would be."""
