"""What users write: reading a workflow file, in Olive's current form or its older one, with good errors."""
